"""Ray: the sweep's trials through Tune, certification through hand-written actors."""

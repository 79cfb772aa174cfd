"""Ray: training trials through Tune, certification through actors that the driver schedules itself."""

"""Ray: training trials through Tune, certification through actors that rsbench schedules itself."""

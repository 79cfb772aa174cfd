"""The mathematics: confidence bounds, certificates and metrics on arrays, in float64, without torch."""

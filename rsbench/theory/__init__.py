"""The mathematics of certification on NumPy arrays, in float64 and without torch: bounds, certificates and metrics."""

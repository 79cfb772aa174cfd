"""The pages: they draw what rsbench.report returns, and keep their filters in the address."""

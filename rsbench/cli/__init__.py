"""The commands: one file a verb, which parses, calls one function and prints.

What a command needs of torch or Ray is imported when it runs, so that `rsbench --help` answers at once.
"""

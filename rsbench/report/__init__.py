"""What the results say: sealed runs in; tables, curves and charts out. Nothing here computes a vote or a radius."""

"""What a command does from end to end: the only place where the cluster and the store meet."""

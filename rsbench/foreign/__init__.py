"""Results that others computed: their files in, records of imported runs out."""

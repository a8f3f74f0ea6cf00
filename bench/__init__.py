"""What Verbatim costs and gives, measured beside what else people use."""

"""Values in, text out: plans, outcomes and facts for people."""

"""What is measured: plan and data become objectives. Heavy libraries are imported here and nowhere above."""

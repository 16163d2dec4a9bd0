"""Who proposes configurations: the race of families, scikit-learn's searches, Optuna's samplers. Each module imports its own library."""

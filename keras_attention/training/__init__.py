"""Loss, metrics, optimizers, and what the commands train and evaluate do."""

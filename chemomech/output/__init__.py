"""What a run leaves behind: fields, history, checkpoints, figures, progress; one protocol for all."""

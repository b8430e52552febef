"""Orders of deeds. Celery is known on this floor and nowhere else."""

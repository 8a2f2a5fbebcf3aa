"""A reproducible data and model pipeline for dermatoscopic images. Its stages are the scripts in pipeline/."""

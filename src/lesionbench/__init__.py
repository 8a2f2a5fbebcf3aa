"""A reproducible data-and-model pipeline for dermatoscopic images; the stages are in pipeline/."""

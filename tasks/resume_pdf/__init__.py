"""A resume in the form of JSON Resume, set as a PDF."""

"""summary.md: one page, from the files of a folder of evidence alone."""

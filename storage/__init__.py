"""What is kept on the disk, and how it gets there: verified downloads, and outputs written beside, then renamed."""

"""What happens to label events beside being said: taken back, relabelled, answered, gathered into acts."""

"""From a batch of images to votes, and from votes to results."""

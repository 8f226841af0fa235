"""nbval as a grader; a package of its own, so that pytest does not have to import torch."""

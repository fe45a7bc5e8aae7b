"""Pure tensor maths; imports torch alone."""

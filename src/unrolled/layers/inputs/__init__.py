"""Input layers: from tokens, words, images, frames and clips to the vectors x_t of a recurrent layer."""

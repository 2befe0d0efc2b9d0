"""The recurrent stack and its parts: RNN, LSTM, GRU, streams, saved states, and the stack unfolded over time."""

"""What all uses share: the contract, the model and its folder, the walk from files to a trained model."""

"""The parts that all uses share: contract, model and folder, the walk from files to a trained model."""

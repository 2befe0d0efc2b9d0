"""Update rules, schedules, averages of the weights, and steps that are not finite."""

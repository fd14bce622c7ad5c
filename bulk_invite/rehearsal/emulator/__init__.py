"""A local Partner Central over real HTTP. It shares only values and the validator with the sender."""

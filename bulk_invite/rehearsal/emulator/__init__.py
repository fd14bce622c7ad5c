"""A Partner Central emulator over real HTTP. It shares only values and the validator with the sender."""

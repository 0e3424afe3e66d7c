"""Tables behind the pictures: what each one draws can be had, and tested, without drawing."""

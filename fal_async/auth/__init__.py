"""Who a session is: the sources of the key. They ask fal through a function that is handed to them."""

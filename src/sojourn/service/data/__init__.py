"""The data folder: who may read it, its database, the room on its disk."""

"""The database itself: reads, writes, the disk below it, and checks of its file. Knows no entity."""

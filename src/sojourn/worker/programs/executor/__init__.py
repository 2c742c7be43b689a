"""The program `executor`: quantum programs of circuit items and samplex items."""

"""Fair share: who has used how much, and whose job is next (R48)."""

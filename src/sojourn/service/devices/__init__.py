"""The devices as users and operators meet them, and their calibrations."""

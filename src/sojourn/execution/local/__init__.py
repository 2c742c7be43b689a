"""Workers as processes of this machine, forked from one fork server per interpreter."""

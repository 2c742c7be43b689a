"""What projects and their users are entitled to, and what they have used."""

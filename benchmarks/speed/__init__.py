"""How long things take: one script per question, a result per machine."""

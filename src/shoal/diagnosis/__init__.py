"""What a trace tells: who used what of whom, which known failures show, who is to blame and how sure that is."""

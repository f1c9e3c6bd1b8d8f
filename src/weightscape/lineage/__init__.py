"""Who was fine-tuned from whom, recovered from Grams and declared facts."""

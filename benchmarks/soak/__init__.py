"""A long run under load that ends in one question: does anything grow?"""

"""Amounts of money, in cents."""


class Price:
    def __init__(self, cents, currency="EUR"):
        if cents < 0:
            raise ValueError("negative price")
        self.cents = cents
        self.currency = currency

    def __add__(self, other):
        if other.currency != self.currency:
            raise TypeError("different currencies")
        return Price(self.cents + other.cents, self.currency)

    def __str__(self):
        return f"{self.cents / 100:.2f} {self.currency}"

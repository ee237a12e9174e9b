"""Carts hold items until they are bought."""

from .price import Price


class Cart:
    def __init__(self):
        self.items = {}

    def add(self, name, price, count=1):
        self.items[name] = (price, count)

    def total(self):
        total = Price(0)
        for price, count in self.items.values():
            for _ in range(count):
                total = total + price
        return total

    def __len__(self):
        return sum(count for _, count in self.items.values())

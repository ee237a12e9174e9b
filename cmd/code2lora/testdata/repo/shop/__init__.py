"""Prices and carts."""

from .cart import Cart
from .price import Price

__all__ = ["Cart", "Price"]

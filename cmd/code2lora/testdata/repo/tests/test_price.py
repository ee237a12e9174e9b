import pytest

from shop import Price


def test_str():
    assert str(Price(250)) == "2.50 EUR"
    assert str(Price(5, "USD")) == "0.05 USD"


def test_add():
    total = Price(100) + Price(23)
    assert total.cents == 123
    assert total.currency == "EUR"


def test_negative():
    with pytest.raises(ValueError):
        Price(-1)

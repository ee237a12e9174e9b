from shop import Cart, Price


def test_empty():
    cart = Cart()
    assert len(cart) == 0
    assert cart.items == {}


def test_total():
    cart = Cart()
    cart.add("pear", Price(30), count=2)
    cart.add("apple", Price(45))
    assert len(cart) == 3
    assert cart.total().cents == 105
    assert sorted(cart.items) == ["apple", "pear"]

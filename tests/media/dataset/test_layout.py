"""How names divide into parts and categories."""

from farm.media.dataset.layout import arrange


def test_loose_pictures_have_no_categories_and_a_natural_order() -> None:
    layout = arrange(["b10.png", "B2.png", "a/c.png"], "train")
    assert layout.names == ("a/c.png", "B2.png", "b10.png")
    assert layout.labels == (0, 0, 0)
    assert layout.categories == ()


def test_a_folder_per_category_numbers_the_categories_naturally() -> None:
    layout = arrange(["10/a.png", "2/a.png", "0/deep/a.png"], "train")
    assert layout.categories == ("0", "2", "10")
    assert layout.names == ("0/deep/a.png", "2/a.png", "10/a.png")
    assert layout.labels == (0, 1, 2)


def test_a_source_without_parts_is_all_for_training() -> None:
    assert arrange(["cats/a.png"], "val").names == ()
    assert arrange(["val/a.png", "rose/a.png"], "val").names == ()


def test_parts_share_the_numbers_of_the_categories() -> None:
    names = ["train/b/1.png", "train/c/1.png", "val/a/1.png", "val/c/1.png", "test/x/1.png"]
    train, val = arrange(names, "train"), arrange(names, "val")
    assert train.categories == val.categories == ("a", "b", "c")
    assert (train.names, train.labels) == (("train/b/1.png", "train/c/1.png"), (1, 2))
    assert (val.names, val.labels) == (("val/a/1.png", "val/c/1.png"), (0, 2))


def test_train_is_a_category_beside_other_folders() -> None:
    layout = arrange(["train/1.png", "boat/1.png"], "train")
    assert layout.categories == ("boat", "train")


def test_train_alone_is_a_part_whose_pictures_may_be_loose() -> None:
    layout = arrange(["train/1.png", "train/2.png"], "train")
    assert (layout.names, layout.categories) == (("train/1.png", "train/2.png"), ())

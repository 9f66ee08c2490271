"""What Streamlit runs for each visitor, at each click; the net is there already."""

from segtrain.demo import page

if __name__ == "__main__":
    page.show(page.open_demo())

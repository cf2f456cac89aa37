"""A job: image, words and inputs. Nothing here knows who runs it."""

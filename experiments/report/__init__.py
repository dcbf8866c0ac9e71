"""How results look: tables, figures, pages. Knows `framework` only."""

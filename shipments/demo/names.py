"""Fictitious people, companies and remarks of the demo, from many cultures and of many lengths."""

from typing import Final

DRIVERS: Final = (
    "Amara Okafor", "Lars-Erik Sjöström", "Nguyễn Thị Minh Khai", "山本 健太", "Мария Кузнецова", "José Luis Peña",
    "Aoife Ní Bhriain", "محمد الأحمد", "Thabo Mokoena", "Kim Min-jun", "Łukasz Wójcik", "Priya Raghunathan",
    "陈伟", "Fatoumata Diallo", "Giórgos Papadópoulos", "Olena Shevchenko", "שרה לוי", "Björk Guðmundsdóttir",
    "Mateo Fernández", "सुनीता शर्मा", "Jean-Baptiste Lefèvre", "Siobhán O’Sullivan", "Ji Li", "Wanjiru Kamau",
    "Çağla Yıldırım", "สมชาย ใจดี", "João Pedro Gonçalves", "Emma de Vries", "Tāne Ngata", "Rukmini Subramaniam",
    "Venkatanarasimharajuvaripeta Srinivasa Raghavendra", "Ahmed Hassan", "Dana Whitfield", "이서연",
    "Ivana Horvat", "Maximilian Freiherr von und zu Hohenlohe-Waldenstein", "Grace Adeyemi", "Hoàng Văn Nam",
    "Kaimana Kealoha", "Zsófia Nagy", "Tendai Moyo", "Rosa Quispe Mamani", "Oleksandr Bondarenko", "Ana Č.",
    "Mbali Dlamini", "Henrik Øvergård", "李 秀英", "Leïla Benali", "D’Angelo Washington",
)  # fmt: skip
CUSTOMERS: Final = (
    "Northwind Traders", "Blaauw & Zonen Bloemen", "Kōyō Precision", "Nordlys Seafood AS", "Casa Belmonte Vinos",
    "Baltic Timber Group", "Harmattan Cocoa Cooperative", "Sagarmatha Textiles", "Grünwald Maschinenbau GmbH",
    "Pampa Grain Export", "陽光電子", "Lakeshore Medical Supply", "Oasis Home Furnishing", "Tui & Fern Dairy",
    "Atlas Çelik Sanayi", "Mekong Rice Mills", "Sable Island Instruments", "Cap Blanc Phosphates",
    "Ромашка Торг", "Great Karoo Wool", "Alder & Finch Books", "Jalapão Café", "Hanbit Batteries",
    "Fjällräven-Öst Sports", "Delta Cold Chain", "Mistral Optique", "Coral Coast Beverages", "Vistula Glass",
    "Société Générale des Emballages Industriels et Agroalimentaires de la Vallée du Rhône", "Q",
    "Copper Basin Mining", "Golden Gate Robotics", "شركة النخيل للتجارة", "Orchard Road Fashion", "Rívera Shoes",
    "Prairie Seed & Feed", "Bay of Plenty Kiwifruit", "Schwarzwald Uhren", "Tropic Star Bananas", "Ibex Outdoor",
)  # fmt: skip
VESSELS: Final = (
    "Aurora Strait", "Cape Meridian", "Ever Tern", "Hanse Pioneer", "Jade Harbour", "Kestrel Bay", "Luna Pacific",
    "Monsoon Trader", "Nordic Swift", "Ocean Lark", "Pearl of Penang", "Santa Rosália", "Southern Cross",
    "Tasman Voyager", "Windward Star", "Yangtze Bridge",
)  # fmt: skip
TRUCKS: Final = (
    "Volvo FH 500",
    "Scania R 450",
    "DAF XG+",
    "Freightliner Cascadia",
    "Tata Prima",
    "MAN TGX",
    "Isuzu Giga",
)
DIALS: Final = (
    "+31 6",
    "+49 151",
    "+1 312 555",
    "+55 11 9",
    "+234 803",
    "+81 90",
    "+91 98",
    "+61 4",
    "+27 82",
    "+44 7700",
)
NOTES: Final = (
    "Call 30 minutes before arrival.", "Fragile: glass on the upper deck.", "Dock 4 only; forklift on request.",
    "Keep between 2 °C and 8 °C.", "Customs papers are with the driver.", "Pallets are exchanged 1:1.",
    "Ring bell <2>, gate \"B\" & wait.", "Нужна подпись на складе.", "需要预约卸货", "Livrer avant midi.",
    "Customer disputes the last invoice: be kind.", "Tail lift needed.", "ADR class 3, limited quantity.",
    "يرجى الاتصال قبل التسليم", "Do not stack.", "Second attempt only after 16:00.",
)  # fmt: skip
REASONS: Final = ("Customer asked for it.", "No capacity.", "Papers incomplete.", "Address could not be found.")
